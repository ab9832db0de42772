package openai

// setPrediction reads a guess of the answer: {"type": "content", "content": a text or text parts}. It makes an answer
// faster where it is right, and changes nothing of it.
func setPrediction(r *chatRequest, v node, name string) *Error {
	if v.kind != kindObject {
		return wrongType(name, "an object", v)
	}
	var kind, content node
	for i, key := range v.keys {
		switch key {
		case "type":
			kind = v.items[i]
		case "content":
			content = v.items[i]
		default:
			if !r.lenient {
				return unknown(name + "." + key)
			}
		}
	}
	if kind.kind != kindString {
		return wrongType(name+".type", "a string", kind)
	}
	if kind.text != "content" {
		return badParam(name+".type", "must be content")
	}
	var e *Error
	r.prediction, e = text(content, name+".content", false, r.lenient)
	r.predicted = e == nil
	return e
}
