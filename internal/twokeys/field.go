package twokeys

import "crypto/subtle"

// A block is an element of the field of GCM: its first bit is the coefficient of x⁰, and x¹²⁸ = x⁷ + x² + x + 1.
type block [blockSize]byte

func add(a, b block) (sum block) {
	subtle.XORBytes(sum[:], a[:], b[:])
	return sum
}

func multiply(a, b block) (product block) {
	for i := range 8 * blockSize {
		if a[i/8]>>(7-i%8)&1 == 1 {
			product = add(product, b)
		}
		b = double(b)
	}
	return product
}

// double returns b·x.
func double(b block) (doubled block) {
	carry := byte(0)
	for i, c := range b {
		doubled[i] = c>>1 | carry<<7
		carry = c & 1
	}
	if carry == 1 {
		doubled[0] ^= 0xe1
	}
	return doubled
}

// inverse returns 1/b, which is b to the power of 2¹²⁸ - 2. Zero has none, and gives zero.
func inverse(b block) block {
	result := block{0x80}
	for range 8*blockSize - 1 {
		b = multiply(b, b)
		result = multiply(result, b)
	}
	return result
}
