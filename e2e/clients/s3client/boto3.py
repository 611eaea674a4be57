"""Does what the lines of its standard input ask for, one JSON object each, and answers each with one line."""

import json
import os
import sys

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

s3 = boto3.client(
    "s3",
    endpoint_url=os.environ["ENDPOINT"],
    config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
)
transfer = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20, max_concurrency=2)


def put(file, **args):
    with open(file, "rb") as body:
        s3.put_object(Body=body, **args)


def put_parts(file, Bucket, Key, **args):
    s3.upload_file(file, Bucket, Key, ExtraArgs=args, Config=transfer)


def get(file, **args):
    with open(file, "wb") as out:
        for chunk in s3.get_object(**args)["Body"].iter_chunks():
            out.write(chunk)


def head(**args):
    answer = s3.head_object(**args)
    names = ("ContentLength", "ETag", "ServerSideEncryption", "SSEKMSKeyId", "SSECustomerKeyMD5")
    return {name: answer[name] for name in names if name in answer}


def list_objects(**args):
    pages = s3.get_paginator("list_objects_v2").paginate(**args)
    return {o["Key"]: o["Size"] for page in pages for o in page.get("Contents", [])}


def copy(**args):
    s3.copy_object(**args)


operations = {"put": put, "put_parts": put_parts, "get": get, "head": head, "list": list_objects, "copy": copy}

for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = {"result": operations[request["op"]](**request["args"])}
    except Exception as e:  # whatever went wrong is the answer
        answer = {"error": f"{type(e).__name__}: {e}"}
    print(json.dumps(answer), flush=True)
