package vault

import (
	"crypto/aes"
	"encoding/binary"
)

// wrapKey wraps key material under an AES key: AES Key Wrap with Padding, RFC 5649, section 4.1. Vault's import of keys wants it, and Go's
// library has none. It is used on nothing else. material has at least one byte and less than 4 GiB.
func wrapKey(kek, material []byte) ([]byte, error) {
	block, err := aes.NewCipher(kek)
	if err != nil {
		return nil, err
	}
	const half = 8
	padded := (len(material) + half - 1) / half * half
	out := make([]byte, half+padded)
	// The alternative initial value of section 3: a constant, and the length without padding.
	binary.BigEndian.PutUint32(out, 0xa65959a6)
	binary.BigEndian.PutUint32(out[4:], uint32(len(material)))
	copy(out[half:], material)
	if padded == half {
		block.Encrypt(out, out)
		return out, nil
	}
	// The wrapping process of RFC 3394, section 2.2.1, with the integrity register in the first half of b.
	var b [aes.BlockSize]byte
	defer clear(b[:])
	copy(b[:half], out)
	n := padded / half
	for j := range 6 {
		for i := 1; i <= n; i++ {
			register := out[half*i : half*(i+1)]
			copy(b[half:], register)
			block.Encrypt(b[:], b[:])
			step := binary.BigEndian.Uint64(b[:half]) ^ uint64(n*j+i)
			binary.BigEndian.PutUint64(b[:half], step)
			copy(register, b[half:])
		}
	}
	copy(out, b[:half])
	return out, nil
}
