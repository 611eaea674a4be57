// Reads a key directory: see section 3 of ../FORMAT.md.
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { base64, masterKeys, rootKeys } from './formats.mjs'

/** readKeys maps key ids to their versions. The secret is a file: the root key as one line of base64, or the passphrase byte for byte. */
export function readKeys(dir, secretFile) {
  const rootJSON = readFileSync(join(dir, 'root.json'), 'utf8')
  const roots = rootKeys(rootJSON, readSecret(rootJSON, secretFile))
  const keys = new Map()
  for (const file of readdirSync(join(dir, 'keys')).filter((name) => name.endsWith('.json'))) {
    const id = file.slice(0, -'.json'.length)
    keys.set(id, masterKeys(readFileSync(join(dir, 'keys', file)), id, roots))
  }
  return keys
}

function readSecret(rootJSON, secretFile) {
  const secret = readFileSync(secretFile)
  const raw = JSON.parse(rootJSON).roots.some(({ kdf }) => kdf === 'hkdf-sha512')
  return raw ? base64(secret.toString().replace(/\n$/, '')) : secret
}
