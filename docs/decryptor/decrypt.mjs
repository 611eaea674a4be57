// Decrypts one stored object, from the operator's secret down, without the library:
//
//   node decrypt.mjs DIR SECRET ENVELOPE BODY BUCKET KEY [VERSION] > plaintext
//
// DIR is a key directory. SECRET is a file: the root key as one line of base64, or the passphrase byte for byte. ENVELOPE and BODY are files with
// what the server has stored, and the rest names the object.
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { base64, dataKey, masterKeys, openObject, rootKeys } from './formats.mjs'

const [dir, secretFile, envelopeFile, bodyFile, bucket, key, version] = process.argv.slice(2)

/** readSecret returns what the roots of a directory are derived from. */
function readSecret(rootJSON) {
  const secret = readFileSync(secretFile)
  const raw = JSON.parse(rootJSON).roots.some(({ kdf }) => kdf === 'hkdf-sha512')
  return raw ? base64(secret.toString().replace(/\n$/, '')) : secret
}

const rootJSON = readFileSync(join(dir, 'root.json'), 'utf8')
const roots = rootKeys(rootJSON, readSecret(rootJSON))
const keys = new Map()
for (const file of readdirSync(join(dir, 'keys')).filter((name) => name.endsWith('.json'))) {
  const id = file.slice(0, -'.json'.length)
  keys.set(id, masterKeys(readFileSync(join(dir, 'keys', file)), id, roots))
}

const envelope = readFileSync(envelopeFile, 'utf8')
const unwrap = (wrapped, context) => dataKey(wrapped, context, keys)
process.stdout.write(openObject({ bucket, key, version }, envelope, readFileSync(bodyFile), { unwrap }))
