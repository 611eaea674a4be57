// Package linear asks whether processes that share a key directory see one key, and not several: whether there is an order of all their calls, each at
// one moment between its beginning and its end, in which every answer is right.
//
// Several processes run random operations on a few keys for a short while, and note when each began and ended by a clock that they share. A checker
// then looks for such an order. A reader that answers old descriptions, which the same test runs too, must be found out.
package linear
