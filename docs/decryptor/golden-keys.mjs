// Opens a golden key directory with the second implementation: node golden-keys.mjs DIR SECRET. DIR has, beside the files of a key
// directory, blobs.json: what was wrapped under its keys. It prints a line for each wrapped text, and fails if one is not as it must be.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readKeys } from './directory.mjs'
import { base64, check, dataKey } from './formats.mjs'

const [dir, secret] = process.argv.slice(2)
const keys = readKeys(dir, secret)
for (const blob of JSON.parse(readFileSync(join(dir, 'blobs.json')))) {
  const { id, version, plaintext } = dataKey(base64(blob.ciphertext), blob.context ?? {}, keys)
  check(id === blob.key_id && version === blob.version, 'key id or version')
  check(plaintext.toString('hex') === blob.plaintext, 'plaintext')
  console.log(`ok ${id} ${version}`)
}
