// Opens golden files with the second implementation: node golden.mjs FOLDER [NAME], where FOLDER/manifest.json describes objects as
// encryption/testdata/v1/README.md says. It prints a line for each object, or only for that of the name, and fails if one is not
// as it must be. FOLDER/attributes.json, if it is there, has attributes of the objects.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { base64, check, dataKey, openAttribute, openObject, parseEnvelope } from './formats.mjs'

const [folder, only] = process.argv.slice(2)
const manifest = JSON.parse(readFileSync(join(folder, 'manifest.json')))
check(manifest.format === 1, 'manifest format')

const attributesFile = join(folder, 'attributes.json')
const attributes = existsSync(attributesFile) ? JSON.parse(readFileSync(attributesFile)) : []

const keys = new Map()
for (const { id, version, material } of manifest.master_keys) {
  keys.set(id, new Map([[version, Buffer.from(material, 'hex')]]))
}
const secrets = {
  unwrap: (wrapped, context) => dataKey(wrapped, context, keys),
  customerKey: Buffer.from(manifest.customer_key, 'hex'),
}

/** throws tells whether something does not open. */
function throws(open) {
  try {
    open()
    return false
  } catch {
    return true
  }
}

const fails = (name, envelope, body) => throws(() => openObject(name, envelope, body, secrets))

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
  for (const { name, value, sealed } of attributes.filter((attribute) => attribute.object === object.name)) {
    const openAs = (name, text) => openAttribute(object, object.envelope, name, text, secrets)
    check(openAs(name, sealed).toString('hex') === value, 'attribute')
    check(throws(() => openAs(name + 'x', sealed)), 'another name opens an attribute')
    check(throws(() => openAs(name, sealed.slice(0, -1) + (sealed.endsWith('A') ? 'Q' : 'A'))), 'a changed attribute opens')
    console.log(`ok ${object.name} ${name}`)
  }
  console.log(`ok ${object.name}`)
}
