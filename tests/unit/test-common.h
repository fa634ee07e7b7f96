/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-common - what cmocka wants included, in the order it wants it
 */
#ifndef USWAP_TEST_COMMON_H
#define USWAP_TEST_COMMON_H

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
/* clang-format on */

#endif
