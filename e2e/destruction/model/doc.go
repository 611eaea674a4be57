// Package model runs random sequences of everything that a server does with keys and objects, and compares each answer with a model that is two maps: objects
// with their plaintext, and keys with their versions.
//
// What the model says opens must open, to the byte. What it says does not must fail, with the documented error. And no operation loses a key.
package model
