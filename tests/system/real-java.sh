#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# real-java - a heap under the G1 collector
. "$(dirname "$0")/lib.sh"
need java javac

cat >"$work/Program.java" <<'JAVA'
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;

public class Program {
	public static void main(String[] args) throws Exception {
		int n = Integer.parseInt(args[0]);
		Map<Integer, String> map = new HashMap<>();
		List<int[]> arrays = new ArrayList<>();
		Random random = new Random(11);
		for (int i = 0; i < n; i++) {
			map.put(random.nextInt(n), "value of " + i + " and " + random.nextInt());
			if (i % 20 == 0) {
				int[] a = new int[250];
				for (int k = 0; k < a.length; k++)
					a[k] = k % 5 == 0 ? random.nextInt() : i;
				arrays.add(a);
			}
			if (i % 1000 == 999)
				arrays.remove(random.nextInt(arrays.size()));
		}
		long[] sums = new long[4];
		Thread[] threads = new Thread[4];
		for (int t = 0; t < 4; t++) {
			int part = t;
			threads[t] = new Thread(() -> {
				long s = 0;
				for (int i = part; i < arrays.size(); i += 4)
					for (int x : arrays.get(i))
						s = s * 31 + x;
				sums[part] = s;
			});
			threads[t].start();
		}
		for (Thread t : threads)
			t.join();
		long s = 0;
		for (int i = 0; i < n; i++) {
			String v = map.get(i);
			s = s * 31 + (v == null ? 1 : v.hashCode());
		}
		System.out.println("java " + map.size() + " " + arrays.size() + " " + s + " " + sums[0]
			+ " " + sums[1] + " " + sums[2] + " " + sums[3]);
	}
}
JAVA
javac -d "$work" "$work/Program.java" || skip "javac does not work"

heap=$(short_or_full 128 1024)
managed "$heap" java -XX:+UseG1GC -Xms"$((heap / 2))m" -Xmx"${heap}m" -cp "$work" Program \
	"$(short_or_full 300000 5000000)"
