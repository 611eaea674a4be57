// Package order holds the tests of what must be durable before what: the order of calls that lets a machine stop at any of them.
package order
