#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# real-node - JavaScript objects, maps, buffers and garbage collection
. "$(dirname "$0")/lib.sh"
need node

cat >"$work/program.js" <<'JS'
const crypto = require("crypto");
const n = Number(process.argv[2]);
let seed = 12345;
function random() {
	seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
	return seed;
}
const map = new Map();
const buffers = [];
for (let i = 0; i < n; i++) {
	map.set("key" + i, { id: i, name: "name of " + i, values: [random(), random(), i * 0.5] });
	if (i % 100 === 0) {
		const buffer = Buffer.alloc(4096 * 3, "text that repeats itself ");
		buffer.writeUInt32LE(random(), 0);
		buffers.push(buffer);
	}
	if (i % 7 === 0)
		map.delete("key" + (random() % (i + 1)));
}
const hash = crypto.createHash("sha256");
let rounds = 0;
for (const [key, value] of map) {
	hash.update(key + JSON.stringify(value));
	if (++rounds % 50 === 0)
		value.values = value.values.concat([rounds]);
}
for (const buffer of buffers)
	hash.update(buffer);
console.log("node", map.size, buffers.length, hash.digest("hex"));
JS

managed "$(short_or_full 130 1500)" node --max-old-space-size=4096 "$work/program.js" \
	"$(short_or_full 150000 4000000)"
