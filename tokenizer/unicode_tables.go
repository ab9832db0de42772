package tokenizer

import "unicode"

// Letters, numbers and marks of Unicode 15.1 and 16.0 that Go 1.26's tables (15.0) lack and the reference knows. Made by
// comparing Go's unicode package with Python's unicodedata2 16.0.0, code point by code point.
var (
	laterLetters = &unicode.RangeTable{
		R16: []unicode.Range16{
			{Lo: 0x1C89, Hi: 0x1C8A, Stride: 1},
			{Lo: 0xA7CB, Hi: 0xA7CD, Stride: 1},
			{Lo: 0xA7DA, Hi: 0xA7DC, Stride: 1},
		},
		R32: []unicode.Range32{
			{Lo: 0x105C0, Hi: 0x105F3, Stride: 1},
			{Lo: 0x10D4A, Hi: 0x10D65, Stride: 1},
			{Lo: 0x10D6F, Hi: 0x10D85, Stride: 1},
			{Lo: 0x10EC2, Hi: 0x10EC4, Stride: 1},
			{Lo: 0x11380, Hi: 0x11389, Stride: 1},
			{Lo: 0x1138B, Hi: 0x1138B, Stride: 1},
			{Lo: 0x1138E, Hi: 0x1138E, Stride: 1},
			{Lo: 0x11390, Hi: 0x113B5, Stride: 1},
			{Lo: 0x113B7, Hi: 0x113B7, Stride: 1},
			{Lo: 0x113D1, Hi: 0x113D1, Stride: 1},
			{Lo: 0x113D3, Hi: 0x113D3, Stride: 1},
			{Lo: 0x11BC0, Hi: 0x11BE0, Stride: 1},
			{Lo: 0x13460, Hi: 0x143FA, Stride: 1},
			{Lo: 0x16100, Hi: 0x1611D, Stride: 1},
			{Lo: 0x16D40, Hi: 0x16D6C, Stride: 1},
			{Lo: 0x18CFF, Hi: 0x18CFF, Stride: 1},
			{Lo: 0x1E5D0, Hi: 0x1E5ED, Stride: 1},
			{Lo: 0x1E5F0, Hi: 0x1E5F0, Stride: 1},
			{Lo: 0x2EBF0, Hi: 0x2EE5D, Stride: 1},
		},
	}
	laterNumbers = &unicode.RangeTable{
		R32: []unicode.Range32{
			{Lo: 0x10D40, Hi: 0x10D49, Stride: 1},
			{Lo: 0x116D0, Hi: 0x116E3, Stride: 1},
			{Lo: 0x11BF0, Hi: 0x11BF9, Stride: 1},
			{Lo: 0x16130, Hi: 0x16139, Stride: 1},
			{Lo: 0x16D70, Hi: 0x16D79, Stride: 1},
			{Lo: 0x1CCF0, Hi: 0x1CCF9, Stride: 1},
			{Lo: 0x1E5F1, Hi: 0x1E5FA, Stride: 1},
		},
	}
	// Of laterLetters, those with case; none is a titlecase letter.
	laterUpper = &unicode.RangeTable{
		R16: []unicode.Range16{
			{Lo: 0x1C89, Hi: 0x1C89, Stride: 1},
			{Lo: 0xA7CB, Hi: 0xA7CC, Stride: 1},
			{Lo: 0xA7DA, Hi: 0xA7DC, Stride: 2},
		},
		R32: []unicode.Range32{
			{Lo: 0x10D50, Hi: 0x10D65, Stride: 1},
		},
	}
	laterLower = &unicode.RangeTable{
		R16: []unicode.Range16{
			{Lo: 0x1C8A, Hi: 0x1C8A, Stride: 1},
			{Lo: 0xA7CD, Hi: 0xA7CD, Stride: 1},
			{Lo: 0xA7DB, Hi: 0xA7DB, Stride: 1},
		},
		R32: []unicode.Range32{
			{Lo: 0x10D70, Hi: 0x10D85, Stride: 1},
		},
	}
	laterMarks = &unicode.RangeTable{
		R16: []unicode.Range16{
			{Lo: 0x0897, Hi: 0x0897, Stride: 1},
		},
		R32: []unicode.Range32{
			{Lo: 0x10D69, Hi: 0x10D6D, Stride: 1},
			{Lo: 0x10EFC, Hi: 0x10EFC, Stride: 1},
			{Lo: 0x113B8, Hi: 0x113C0, Stride: 1},
			{Lo: 0x113C2, Hi: 0x113C2, Stride: 1},
			{Lo: 0x113C5, Hi: 0x113C5, Stride: 1},
			{Lo: 0x113C7, Hi: 0x113CA, Stride: 1},
			{Lo: 0x113CC, Hi: 0x113D0, Stride: 1},
			{Lo: 0x113D2, Hi: 0x113D2, Stride: 1},
			{Lo: 0x113E1, Hi: 0x113E2, Stride: 1},
			{Lo: 0x11F5A, Hi: 0x11F5A, Stride: 1},
			{Lo: 0x1611E, Hi: 0x1612F, Stride: 1},
			{Lo: 0x1E5EE, Hi: 0x1E5EF, Stride: 1},
		},
	}
)
