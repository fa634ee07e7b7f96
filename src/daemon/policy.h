/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * policy - the policies that are built in; include/uswap/policy.h says what a policy is
 */
#ifndef USWAP_DAEMON_POLICY_H
#define USWAP_DAEMON_POLICY_H

#include <stddef.h>

#include "uswap/policy.h"

extern const struct uswap_policy *const policies[];
extern const size_t n_policies;

const struct uswap_policy *policy_find(const char *name); /* NULL: there is none */

#endif
