// Decrypts one stored object, from the operator's secret down, without the library:
//
//   node decrypt.mjs DIR SECRET ENVELOPE BODY BUCKET KEY [VERSION] > plaintext
//
// DIR is a key directory. SECRET is a file: the root key as one line of base64, or the passphrase byte for byte. ENVELOPE and BODY are files with
// what the server has stored, and the rest names the object.
import { readFileSync } from 'node:fs'
import { readKeys } from './directory.mjs'
import { dataKey, openObject } from './formats.mjs'

const [dir, secret, envelope, body, bucket, key, version] = process.argv.slice(2)
const keys = readKeys(dir, secret)
const unwrap = (wrapped, context) => dataKey(wrapped, context, keys)
process.stdout.write(openObject({ bucket, key, version }, readFileSync(envelope, 'utf8'), readFileSync(body), { unwrap }))
