// Reads a key directory: see section 3 of ../FORMAT.md.
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { base64, masterKeys, rootKeys } from './formats.mjs'

/** readKeys maps key ids to their versions. The secret is a file: the root key as one line of base64, or the passphrase byte for byte. */
export function readKeys(dir, secretFile) {
  const rootJSON = readFile(dir, '.', 'root.json').toString()
  const roots = rootKeys(rootJSON, readSecret(rootJSON, secretFile))
  const keys = new Map()
  for (const file of fileNames(dir)) {
    const id = file.slice(0, -'.json'.length)
    keys.set(id, masterKeys(readFile(dir, 'keys', file), id, roots))
  }
  return keys
}

/** batchPrefix is what stands before the names of files that a change was cut off to rename, or undefined where there was none. */
function batchPrefix(dir) {
  if (!existsSync(join(dir, 'batch'))) return undefined
  const [, word] = /^([A-Z2-7]{26})\n$/.exec(readFileSync(join(dir, 'batch'), 'utf8'))
  return `.objectkms-set-${word}-`
}

/** fileNames returns the names of all key files, those in a batch included. */
function fileNames(dir) {
  const prefix = batchPrefix(dir)
  const names = readdirSync(join(dir, 'keys')).map((name) => prefix && name.startsWith(prefix) ? name.slice(prefix.length) : name)
  return new Set(names.filter((name) => /^[A-Za-z0-9].*\.json$/.test(name)))
}

/** readFile reads a file as it is once its batch is finished. */
function readFile(dir, folder, name) {
  const batched = join(dir, folder, `${batchPrefix(dir)}${name}`)
  return readFileSync(existsSync(batched) ? batched : join(dir, folder, name))
}

function readSecret(rootJSON, secretFile) {
  return secretOf(secretFile, JSON.parse(rootJSON).roots.some(({ kdf }) => kdf === 'hkdf-sha512'))
}

/** secretOf reads a file with 32 bytes as one line of base64 where raw, or with a passphrase byte for byte. */
export function secretOf(file, raw) {
  const secret = readFileSync(file)
  return raw ? base64(secret.toString().replace(/\n$/, '')) : secret
}
