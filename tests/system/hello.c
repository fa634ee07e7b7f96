/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * hello - linked statically: a program that no preload library reaches
 */
#include <stdio.h>

int main(void)
{
	puts("hello from a static program");
	return 0;
}
