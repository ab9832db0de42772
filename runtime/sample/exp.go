package sample

import "math"

// ln 2 in two parts: the products of the upper one, which has 9 bits, with an exponent are exact.
const (
	ln2High = 355.0 / 512
	ln2Low  = math.Ln2 - ln2High
)

// exp returns e^x for x <= 0 with a relative error below 3e-7, and 0 below -87 (before the result is denormal). The
// draw needs no more, and math.Exp over a vocabulary would take several percent of a small model's step.
func exp(x float32) float32 {
	if !(x > -87) {
		return 0
	}
	// x = n ln 2 + r with |r| <= ln(2)/2; the polynomial is e^r.
	n := int32(x*math.Log2E - 0.5)
	r := x - float32(n)*ln2High - float32(n)*ln2Low
	p := 1 + r*(1+r*(1.0/2+r*(1.0/6+r*(1.0/24+r*(1.0/120+r*(1.0/720))))))
	return p * math.Float32frombits(uint32(n+127)<<23)
}
