// Opens golden files with the second implementation: node golden.mjs FOLDER [NAME], where FOLDER/manifest.json describes objects as
// encryption/testdata/v1/README.md says. It prints a line for each object, or only for that of the name, and fails if one is not
// as it must be.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { base64, check, dataKey, openObject, parseEnvelope } from './formats.mjs'

const [folder, only] = process.argv.slice(2)
const manifest = JSON.parse(readFileSync(join(folder, 'manifest.json')))
check(manifest.format === 1, 'manifest format')

const keys = new Map()
for (const { id, version, material } of manifest.master_keys) {
  keys.set(id, new Map([[version, Buffer.from(material, 'hex')]]))
}
const secrets = {
  unwrap: (wrapped, context) => dataKey(wrapped, context, keys),
  customerKey: Buffer.from(manifest.customer_key, 'hex'),
}

/** fails tells whether an object does not open. */
function fails(name, envelope, body) {
  try {
    openObject(name, envelope, body, secrets)
    return false
  } catch {
    return true
  }
}

/** flip returns a copy with one bit changed. */
function flip(bytes, at) {
  const copy = Buffer.from(bytes)
  copy[at] ^= 1
  return copy
}

for (const object of manifest.objects.filter(({ name }) => !only || name === only)) {
  const body = readFileSync(join(folder, object.body))
  const envelope = parseEnvelope(object.envelope)
  check(['SSE-S3', 'SSE-KMS', 'SSE-C'][envelope.mode - 1] === object.mode, 'mode')
  check(envelope.keyID === object.key_id && envelope.bucketKey === object.bucket_key, 'key id or bucket key')

  const plain = openObject(object, object.envelope, body, secrets)
  check(plain.length === object.plain_size, 'size')
  check(createHash('sha256').update(plain).digest('hex') === object.plain_sha256, 'SHA-256')

  check(fails({ ...object, key: object.key + 'x' }, object.envelope, body), 'another name opens')
  for (const at of [0, 24, 56, body.length - 1]) check(fails(object, object.envelope, flip(body, at)), `byte ${at} is not checked`)
  check(fails(object, object.envelope, body.subarray(0, body.length - 1)), 'a cut body opens')
  const bytes = base64(object.envelope, 'base64url')
  for (let at = 0; at < bytes.length; at++) {
    check(fails(object, flip(bytes, at).toString('base64url'), body), `byte ${at} of the envelope is not checked`)
  }
  console.log(`ok ${object.name}`)
}
