# Draws two plots side by side as SVG: seconds against round trip, and seconds against known unique-ids. Reads the lines of
# measure: case, program, seconds, separated by tabs; the cases are "rtt 50", in ms, and "known 10", in thousands.
BEGIN {
	FS = "\t"
	colour["popfetch"] = "#c1272d"; colour["mpop"] = "#0071bc"; colour["fetchmail"] = "#39a04b"; colour["fdm"] = "#8c6bb1"
	order = split("popfetch mpop fetchmail fdm", programs, " ")
	title["rtt"] = "500 messages of 4 KiB, by round trip (ms)"
	title["known"] = "nothing new, by known unique-ids"
}
split($1, word, " ") == 2 && word[1] in title {
	panel = word[1]
	x = panel == "rtt" ? word[2] + 0 : word[2] * 1000
	n = ++count[panel, $2]
	at[panel, $2, n] = x
	seconds[panel, $2, n] = $3
	if (!(panel in most) || x > most[panel]) most[panel] = x
	if (!(panel in least) || x < least[panel]) least[panel] = x
	if (!(panel in slowest) || $3 > slowest[panel]) slowest[panel] = $3
	if (!(panel in fastest) || $3 < fastest[panel]) fastest[panel] = $3
}
function log10(v) { return log(v) / log(10) }
function floor(v) { return v < int(v) ? int(v) - 1 : int(v) }
function across(panel, x) {
	if (panel == "rtt") return left + width * x / most[panel]
	return left + width * (log10(x) - log10(least[panel])) / (log10(most[panel]) - log10(least[panel]))
}
function down(panel, s) { return top + height * (high - log10(s)) / (high - low) }
function label(x, y, anchor, text, size, fill) {
	printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" font-size=\"%d\" fill=\"%s\">%s</text>\n", x, y, anchor, size, fill, text
}
function draw(panel,    i, p, n, path, decade, x, last) {
	low = floor(log10(fastest[panel])); high = floor(log10(slowest[panel])) + 1
	label(left + width / 2, top - 14, "middle", title[panel], 13, "#222")
	for (decade = low; decade <= high; decade++) {
		printf "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"#ddd\"/>\n", left, down(panel, 10 ^ decade), left + width, down(panel, 10 ^ decade)
		label(left - 6, down(panel, 10 ^ decade) + 4, "end", 10 ^ decade " s", 11, "#555")
	}
	for (i = 1; i <= count[panel, "popfetch"]; i++) {
		x = at[panel, "popfetch", i]
		label(across(panel, x), top + height + 16, "middle", x, 11, "#555")
	}
	for (p = 1; p <= order; p++) {
		path = ""
		for (n = 1; n <= count[panel, programs[p]]; n++)
			path = path sprintf("%.1f,%.1f ", across(panel, at[panel, programs[p], n]), down(panel, seconds[panel, programs[p], n]))
		if (path == "") continue
		printf "<polyline points=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"/>\n", path, colour[programs[p]]
		last = count[panel, programs[p]]
		label(across(panel, at[panel, programs[p], last]) + 6, down(panel, seconds[panel, programs[p], last]) + 4, "start", programs[p], 11, colour[programs[p]])
	}
}
END {
	width = 330; height = 260; top = 50
	printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 960 350\" font-family=\"sans-serif\">\n<rect width=\"960\" height=\"350\" fill=\"#fff\"/>\n"
	left = 70; draw("rtt")
	left = 545; draw("known")
	print "</svg>"
}
