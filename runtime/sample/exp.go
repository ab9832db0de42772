package sample

import "math"

// ln 2 / 32 in two parts: the products of the upper one, which has 10 bits, with the numbers that occur are exact.
const (
	stepHigh = 355.0 / (512 * 32)
	stepLow  = math.Ln2/32 - stepHigh
)

// powers[j] is 2^(j/32).
var powers = [32]float32{
	1, 1.0218971486541166, 1.0442737824274138, 1.0671404006768237, 1.0905077326652577, 1.1143867425958924,
	1.1387886347566916, 1.1637248587775775, 1.189207115002721, 1.215247359980469, 1.241857812073484, 1.269050957191733,
	1.2968395546510096, 1.3252366431597413, 1.3542555469368927, 1.383909881963832, 1.4142135623730951, 1.4451808069770467,
	1.4768261459394993, 1.5091644275934228, 1.5422108254079407, 1.5759808451078865, 1.6104903319492543, 1.645755478153965,
	1.681792830507429, 1.7186192981224779, 1.7562521603732995, 1.7947090750031072, 1.8340080864093424, 1.8741676341103,
	1.9152065613971474, 1.9571441241754002,
}

// exp returns e^x for x <= 0 with a relative error below 3e-7, and 0 below -87 (before the result is denormal). The
// draw needs no more, and math.Exp over a vocabulary would take several percent of a small model's step.
func exp(x float32) float32 {
	if !(x > -87) {
		return 0
	}
	// x = n ln 2 / 32 + r with |r| <= ln(2)/64; the polynomial is e^r - 1.
	n := int32(x*(32*math.Log2E) - 0.5)
	r := x - float32(n)*stepHigh - float32(n)*stepLow
	p := powers[n&31]
	p += p * (r * (1 + r*(0.5+r*(1.0/6))))
	return math.Float32frombits(math.Float32bits(p) + uint32(n>>5)<<23)
}
