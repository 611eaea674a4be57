// A second implementation of the formats in ../FORMAT.md, written from that page alone. It reads; it does not
// write. Only Node's own modules are used. Every function throws when something is not as it must be.
import * as crypto from 'node:crypto'

const headerSize = 56
const chunkSize = 16384
const tagSize = 16

/** check throws unless the condition holds. */
export function check(condition, what) {
  if (!condition) throw new Error(what)
}

// ---- Cobblestone-256

/** expand is HKDF-Expand of RFC 5869 with SHA-512. */
function expand(key, info, size) {
  let out = Buffer.alloc(0)
  for (let block = Buffer.alloc(0), i = 1; out.length < size; i++) {
    block = crypto.createHmac('sha512', key).update(block).update(info).update(Buffer.of(i)).digest()
    out = Buffer.concat([out, block])
  }
  return out.subarray(0, size)
}

const storedSize = (size) => headerSize + size + tagSize * (Math.floor(size / chunkSize) + 1)

/** open returns the plaintext of a message under a 32-byte key and a context. */
export function open(key, context, message) {
  check(key.length === 32, 'input key')
  check(message.length >= headerSize + tagSize, 'message is too short')
  const salt = message.subarray(0, 24)
  const name = 'c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0'
  const derived = expand(key, Buffer.concat([Buffer.from(name), salt, context]), 76)
  const [chunkKey, baseNonce, commitment] = [derived.subarray(0, 32), derived.subarray(32, 44), derived.subarray(44)]
  check(crypto.timingSafeEqual(commitment, message.subarray(24, headerSize)), 'commitment')

  const plain = []
  let at = headerSize
  for (let number = 0; ; number++) {
    const chunk = message.subarray(at, at + chunkSize + tagSize)
    plain.push(openChunk(chunkKey, baseNonce, number, chunk))
    at += chunk.length
    // The last chunk is the first that is not full; it may be empty.
    if (chunk.length < chunkSize + tagSize) break
  }
  check(at === message.length, 'trailing bytes')
  return Buffer.concat(plain)
}

function openChunk(key, baseNonce, number, chunk) {
  check(chunk.length >= tagSize, 'chunk is cut')
  const nonce = Buffer.from(baseNonce)
  const counter = Buffer.alloc(12)
  counter.writeBigUInt64BE(BigInt(number), 4)
  for (let i = 0; i < nonce.length; i++) nonce[i] ^= counter[i]
  const cipher = crypto.createDecipheriv('aes-256-gcm', key, nonce)
  cipher.setAuthTag(chunk.subarray(chunk.length - tagSize))
  return Buffer.concat([cipher.update(chunk.subarray(0, chunk.length - tagSize)), cipher.final()])
}

// ---- Contexts

const uint32 = (n) => { const b = Buffer.alloc(4); b.writeUInt32BE(n); return b }
const uint64 = (n) => { const b = Buffer.alloc(8); b.writeBigUInt64BE(BigInt(n)); return b }
const field = (bytes) => { const b = Buffer.from(bytes); return Buffer.concat([uint32(b.length), b]) }

/** bind is the context of one use of a key. */
export function bind(label, ...fields) {
  return Buffer.concat([Buffer.from(`objectkms/v1/${label}\0`), ...fields.map(field)])
}

/** canonical is the one form of an encryption context. */
export function canonical(context) {
  const entries = Object.entries(context).map((entry) => entry.map((text) => Buffer.from(text)))
  entries.sort(([a], [b]) => Buffer.compare(a, b))
  return Buffer.concat(entries.flat().map(field))
}

// ---- Key directory

/** base64 decodes text that must be in its one spelling. */
export function base64(text, encoding = 'base64') {
  const bytes = Buffer.from(text, encoding)
  check(bytes.toString(encoding) === text, 'base64')
  return bytes
}

/** rootKeys maps root versions to root keys: those entries of root.json that the secret opens. */
export function rootKeys(rootJSON, secret) {
  const keys = new Map()
  for (const root of JSON.parse(rootJSON).roots) {
    const salt = base64(root.salt)
    const key = stretch(root, secret, salt, 'objectkms/v1/root-key')
    const context = bind('root', uint32(root.version), root.kdf, root.params, salt)
    try {
      check(open(key, context, base64(root.check)).length === 0, 'check value')
      keys.set(root.version, key)
    } catch { /* sealed under another secret */ }
  }
  check(keys.size > 0, 'the secret opens no root')
  return keys
}

/** stretch returns the key that a KDF makes of a secret. */
function stretch({ kdf, params }, secret, salt, info) {
  if (kdf === 'hkdf-sha512') return Buffer.from(crypto.hkdfSync('sha512', secret, salt, info, 32))
  check(kdf === 'argon2id', 'KDF')
  check(crypto.argon2Sync, 'this Node.js has no Argon2id')
  const [, memory, passes, parallelism] = /^m=(\d+),t=(\d+),p=(\d+)$/.exec(params).map(Number)
  return crypto.argon2Sync('argon2id', { message: secret, nonce: salt, memory, passes, parallelism, tagLength: 32 })
}

/** masterKeys maps the versions of a key file to their 32 bytes. */
export function masterKeys(file, id, roots) {
  const text = file.toString('utf8')
  const parts = /^\{"record":(\{.*\}),"seal":"([A-Za-z0-9+/=]{96})"\}\n$/.exec(text)
  check(parts, 'key file')
  const record = JSON.parse(parts[1])
  const root = roots.get(record.root)
  check(root, 'root version')
  check(open(root, bind('record', parts[1]), base64(parts[2])).length === 0, 'seal')
  check(record.format === 1 && record.id === id, 'record')
  return new Map(record.versions.map(({ version, sealed }) =>
    [version, open(root, bind('master-key', id, uint32(version)), base64(sealed))]))
}

/** bundleKeys maps key ids to their versions, as masterKeys does, from a bundle. */
export function bundleKeys(bundle, secret) {
  const end = bundle.indexOf('\n') + 1
  const head = JSON.parse(bundle.subarray(0, end).toString())
  check(head.bundle === 1, 'bundle format')
  const salt = base64(head.salt)
  const key = stretch(head, secret, salt, 'objectkms/v1/bundle-key')
  const content = open(key, bind('bundle', uint32(head.bundle), head.kdf, head.params, salt), bundle.subarray(end))
  let at = 4 + content.readUInt32BE(0)
  const keys = new Map()
  for (const { id, versions } of JSON.parse(content.subarray(4, at).toString()).keys) {
    keys.set(id, new Map(versions.map((_, i) => [i + 1, content.subarray(at, at += 32)])))
  }
  check(at === content.length, 'materials')
  return keys
}

/** dataKey unwraps a wrapped data key. keys maps key ids to what masterKeys answers. */
export function dataKey(blob, context, keys) {
  check(blob[0] === 1 && blob[1] === 1, 'wrapped data key')
  const end = 3 + blob[2]
  const id = blob.subarray(3, end).toString()
  const version = blob.readUInt32BE(end)
  const header = blob.subarray(0, end + 4)
  const key = keys.get(id)?.get(version)
  check(key, `no version ${version} of key ${id}`)
  return { id, version, plaintext: open(key, bind('data-key', header, canonical(context)), blob.subarray(end + 4)) }
}

// ---- Objects

/** parseEnvelope takes the text form apart. */
export function parseEnvelope(text) {
  const bytes = base64(text, 'base64url')
  let at = 0
  const take = (n) => { check(at + n <= bytes.length, 'envelope is cut'); at += n; return bytes.subarray(at - n, at) }
  const take16 = () => take(take(2).readUInt16BE())
  check(take(1)[0] === 1, 'format version')
  const mode = take(1)[0]
  const flags = take(1)[0]
  const keyID = take16().toString()
  const context = parseContext(take16())
  const layout = parseLayout(take)
  const bound = bytes.subarray(0, at)
  const sealed = take(headerSize + 32 + tagSize)
  const wrapped = take16()
  check(at === bytes.length, 'trailing bytes')
  check(mode >= 1 && mode <= 3 && flags <= 1, 'mode or flags')
  return { mode, bucketKey: flags === 1, keyID, context, layout, bound, sealed, wrapped }
}

/** parseLayout returns the messages of the body in their order. The number of the only one is undefined. */
function parseLayout(take) {
  const kind = take(1)[0]
  const integer = (size) => Number(BigInt('0x' + take(size).toString('hex')))
  if (kind === 1) return { messages: [{ size: integer(8) }] }
  check(kind === 2, 'layout')
  const runs = integer(2)
  check(runs >= 1 && runs * 12 <= 16384, 'runs')
  const messages = []
  for (let i = 0; i < runs; i++) {
    const [first, count, size] = [integer(2), integer(2), integer(8)]
    const last = messages.at(-1) ?? { number: 0 }
    check(count >= 1 && first > last.number && first + count <= 10001, 'part numbers')
    check(first !== last.number + 1 || size !== last.size, 'run is not whole')
    for (let n = 0; n < count; n++) messages.push({ number: first + n, size })
  }
  return { messages, digest: take(32) }
}

function parseContext(form) {
  const texts = []
  for (let at = 0; at < form.length;) {
    const n = form.readUInt32BE(at)
    texts.push(form.subarray(at + 4, at + 4 + n).toString())
    at += 4 + n
  }
  const names = texts.filter((_, i) => i % 2 === 0)
  const context = Object.fromEntries(names.map((name, i) => [name, texts[2 * i + 1]]))
  check(canonical(context).equals(form), 'context')
  return context
}

/** openObject returns the plaintext of an object. unwrap is asked for the data key unless the mode is SSE-C. */
export function openObject(name, envelopeText, body, secrets) {
  const envelope = parseEnvelope(envelopeText)
  return openBody(openObjectKey(name, envelope, secrets), envelope.layout, body)
}

/** openAttribute returns what is sealed about an object under the attribute's name. */
export function openAttribute(name, envelopeText, attributeName, sealed, secrets) {
  check(sealed.length > 0, 'no attribute')
  const key = openObjectKey(name, parseEnvelope(envelopeText), secrets)
  return open(key, bind('attribute', attributeName), base64(sealed, 'base64url'))
}

function openObjectKey({ bucket, key, version = '' }, envelope, { unwrap, customerKey }) {
  let effective = {}
  let sealKey
  if (envelope.mode === 3) {
    sealKey = Buffer.from(crypto.hkdfSync('sha512', customerKey, Buffer.alloc(0), 'objectkms/v1/customer-key', 32))
  } else {
    const arn = `arn:aws:s3:::${bucket}` + (envelope.bucketKey ? '' : `/${key}`)
    effective = { ...envelope.context, 'aws:s3:arn': arn }
    const wrapping = unwrap(envelope.wrapped, effective)
    check(wrapping.id === envelope.keyID, 'key id')
    sealKey = wrapping.plaintext
  }
  const bound = bind('object-key', bucket, key, version === 'null' ? '' : version, canonical(effective), envelope.bound)
  return open(sealKey, bound, envelope.sealed)
}

function openBody(key, { messages, digest }, body) {
  check(messages.reduce((sum, { size }) => sum + storedSize(size), 0) === body.length, 'size')
  const hash = crypto.createHash('sha256')
  const plain = []
  let at = 0
  for (const { number, size } of messages) {
    const message = body.subarray(at, at += storedSize(size))
    plain.push(open(key, number === undefined ? bind('object') : bind('part', uint32(number)), message))
    if (digest) hash.update(uint32(number)).update(uint64(size)).update(message.subarray(0, headerSize))
  }
  check(!digest || hash.digest().equals(digest), 'parts')
  return Buffer.concat(plain)
}
