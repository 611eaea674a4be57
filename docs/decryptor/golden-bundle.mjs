// Opens a golden bundle with the second implementation: node golden-bundle.mjs BUNDLE SECRET BLOBS, where BLOBS is a file with what was wrapped
// under its keys. It prints a line for each wrapped text, and fails if one is not as it must be.
import { readFileSync } from 'node:fs'
import { secretOf } from './directory.mjs'
import { base64, bundleKeys, check, dataKey } from './formats.mjs'

const [file, secret, blobs] = process.argv.slice(2)
const bundle = readFileSync(file)
const keys = bundleKeys(bundle, secretOf(secret, bundle.subarray(0, 100).includes('hkdf-sha512')))
for (const blob of JSON.parse(readFileSync(blobs))) {
  const { id, version, plaintext } = dataKey(base64(blob.ciphertext), blob.context ?? {}, keys)
  check(id === blob.key_id && version === blob.version, 'key id or version')
  check(plaintext.toString('hex') === blob.plaintext, 'plaintext')
  console.log(`ok ${id} ${version}`)
}
