# Draws two plots side by side as SVG: seconds by round trip, and seconds by known unique-ids. It
# reads lines of measure: case, program and seconds, separated by tabs. The cases are "rtt 50", in
# ms, and "known 10", in thousands.
BEGIN {
	FS = "\t"
	count_programs = split("popfetch mpop fetchmail fdm getmail", programs, " ")
	split("#d55e00 #0072b2 #009e73 #aa4499 #806600", colours, " ")
	split("none|none|8 3|2 3|9 3 2 3", dashes, "|") # so that two lines at the same place are both visible
	title["rtt"] = "500 new messages of 4 KiB"; along["rtt"] = "round trip, ms"
	title["known"] = "nothing new"; along["known"] = "known unique-ids, logarithmic"
}
split($1, word, " ") == 2 && word[1] in title {
	panel = word[1]
	x = panel == "rtt" ? word[2] + 0 : word[2] * 1000
	n = ++count[panel, $2]
	at[panel, $2, n] = x
	seconds[panel, $2, n] = $3
	if (!((panel, x) in tick)) { tick[panel, x]; ticks[panel, ++tick_count[panel]] = x }
	if (!(panel in most) || x > most[panel]) most[panel] = x
	if (!(panel in least) || x < least[panel]) least[panel] = x
	if (!(panel in slowest) || $3 + 0 > slowest[panel]) slowest[panel] = $3 + 0
	if (!(panel in fastest) || $3 + 0 < fastest[panel]) fastest[panel] = $3 + 0
}
function log10(v) { return log(v) / log(10) }
function floor(v) { return v < int(v) ? int(v) - 1 : int(v) }
function across(x) {
	if (panel == "rtt") return left + width * x / most[panel]
	return left + width * (log10(x) - log10(least[panel])) / (log10(most[panel]) - log10(least[panel]))
}
function down(s) { return top + height * (log10(high) - log10(s)) / (log10(high) - log10(low)) }
# thousands writes 1000000 as 1,000,000.
function thousands(n,    text) {
	text = sprintf("%d", n)
	return length(text) > 3 ? thousands(substr(text, 1, length(text) - 3)) "," substr(text, length(text) - 2) : text
}
function line(x1, y1, x2, y2, style) {
	printf "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" %s/>\n", x1, y1, x2, y2, style
}
function label(x, y, style, text) { printf "<text x=\"%.1f\" y=\"%.1f\" %s>%s</text>\n", x, y, style, text }
function style_of(p) {
	return sprintf("stroke=\"%s\" stroke-width=\"%s\" stroke-dasharray=\"%s\"", colours[p], p == 1 ? 3 : 1.8, dashes[p])
}
# limits sets low and high: 1, 2 or 5 times a power of ten, around all values of the plot.
function limits(    decade, i) {
	low = high = 0
	for (decade = floor(log10(fastest[panel])); !high; decade++)
		for (i = 1; i <= 3 && !high; i++) {
			if (steps[i] * 10 ^ decade <= fastest[panel] * 1.001) low = steps[i] * 10 ^ decade
			else if (steps[i] * 10 ^ decade >= slowest[panel]) high = steps[i] * 10 ^ decade
		}
}
function axes(    decade, i, s) {
	label(left + width / 2, top - 16, "text-anchor=\"middle\" font-size=\"14\" fill=\"#222\"", title[panel])
	for (decade = floor(log10(low)); decade <= log10(high); decade++)
		for (i = 1; i <= 3; i++) {
			s = steps[i] * 10 ^ decade
			if (s < low * 0.999 || s > high * 1.001) continue
			line(left, down(s), left + width, down(s), i == 1 ? "stroke=\"#ccc\"" : "stroke=\"#eee\"")
			label(left - 8, down(s) + 4, "text-anchor=\"end\" font-size=\"11\" fill=\"" (i == 1 ? "#333" : "#888") "\"", s " s")
		}
	for (i = 1; i <= tick_count[panel]; i++) {
		line(across(ticks[panel, i]), top, across(ticks[panel, i]), top + height + 5, "stroke=\"#ccc\"")
		label(across(ticks[panel, i]), top + height + 19, "text-anchor=\"middle\" font-size=\"11\" fill=\"#333\"", thousands(ticks[panel, i]))
	}
	label(left + width / 2, top + height + 38, "text-anchor=\"middle\" font-size=\"12\" fill=\"#333\"", along[panel])
	label(left - 52, top + height / 2, "text-anchor=\"middle\" font-size=\"12\" fill=\"#333\" transform=\"rotate(-90 " left - 52 " " top + height / 2 ")\"", "wall time, logarithmic")
}
function curve(p,    n, x, y, path) {
	for (n = 1; n <= count[panel, programs[p]]; n++) {
		x = across(at[panel, programs[p], n]); y = down(seconds[panel, programs[p], n])
		path = path sprintf("%.1f,%.1f ", x, y)
		printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%s\" fill=\"%s\"/>\n", x, y, p == 1 ? 3.5 : 2.5, colours[p]
	}
	if (path != "") printf "<polyline points=\"%s\" fill=\"none\" %s/>\n", path, style_of(p)
}
# names writes each name at the end of its curve. If other curves go on there, the name is above the
# curve's end. It goes from the top down. A name without room is moved down.
function names(    p, best, n, x, y, below, done, anchor) {
	for (;;) {
		best = 0
		for (p = 1; p <= count_programs; p++) {
			if ((n = count[panel, programs[p]]) == 0 || p in done) continue
			if (!best || seconds[panel, programs[p], n] > seconds[panel, programs[best], count[panel, programs[best]]]) best = p
		}
		if (!best) return
		done[best]
		n = count[panel, programs[best]]
		x = at[panel, programs[best], n]
		y = down(seconds[panel, programs[best], n]) + (x < most[panel] ? -9 : 4)
		if (x in below && y < below[x] + 13) y = below[x] + 13
		below[x] = y
		anchor = x < most[panel] ? "middle" : "start"
		label(across(x) + (x < most[panel] ? 0 : 8), y, "text-anchor=\"" anchor "\" font-size=\"12\" fill=\"" colours[best] "\" stroke=\"#fff\" stroke-width=\"3\" paint-order=\"stroke\"", programs[best])
	}
}
function legend(    p, x) {
	x = 250
	for (p = 1; p <= count_programs; p++) {
		if (!(("rtt", programs[p]) in count || ("known", programs[p]) in count)) continue
		line(x, 416, x + 34, 416, style_of(p))
		label(x + 40, 420, "font-size=\"12\" fill=\"#222\"", programs[p])
		x += 66 + 7 * length(programs[p])
	}
}
function draw(name,    p) {
	panel = name
	if (!(panel in most)) return
	limits()
	axes()
	for (p = count_programs; p >= 1; p--) curve(p)
	names()
}
END {
	split("1 2 5", steps, " ")
	width = 320; height = 280; top = 50
	printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 980 440\" font-family=\"sans-serif\" role=\"img\">\n"
	print "<title>popfetch and others: wall time by round trip, and by known unique-ids</title>"
	print "<rect width=\"980\" height=\"440\" fill=\"#fff\"/>"
	left = 80; draw("rtt")
	left = 565; draw("known")
	legend()
	print "</svg>"
}
