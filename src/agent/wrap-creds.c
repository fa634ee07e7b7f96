/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * wrap-creds - a program that gives up its identity keeps no thread that still has it
 *
 * libc's set*id functions tell the program's other threads; they do not know the agent. So after a
 * call that worked the identity is compared with the one before: if it was one the process cannot
 * get back, the agent is taken away and a new one started, which has the new identity. It can get
 * back everything while its effective user is root, and what is still among its real, effective and
 * saved ids. So a daemon that drops groups, then group, then user pays once, and a server that takes on
 * the identity of a client for each request, keeping its own in the saved id, pays a few cheap calls.
 *
 * Not wrapped: setfsuid and setfsgid. They give nothing up, any thread may undo them.
 * capset: a sealed agent has no capability; one that is not sealed yet goes.
 * The bare system calls concern the calling thread alone; they are treated the same.
 */
#include "agent/wrap.h"

#include "agent/agent-sys.h"
#include "agent/keeper.h"
#include <grp.h>
#include <linux/capability.h>
#include <unistd.h>

int capset(struct __user_cap_header_struct *head, const struct __user_cap_data_struct *data);

struct identity {
	uint32_t id[6]; /* real, effective, saved: user, then group */
};

static void identity_get(struct identity *id)
{
	sys_3(SYS_getresuid, &id->id[0], &id->id[1], &id->id[2]);
	sys_3(SYS_getresgid, &id->id[3], &id->id[4], &id->id[5]);
}

/* True if some id of @before, among the three of its kind, cannot be had again. */
static bool identity_lost(const struct identity *before, const struct identity *after)
{
	if (after->id[1] == 0)
		return false;
	for (int i = 0; i < 6; i++) {
		int kind = i < 3 ? 0 : 3;
		uint32_t id = before->id[i];

		if (id != after->id[kind] && id != after->id[kind + 1] && id != after->id[kind + 2])
			return true;
	}
	return false;
}

static void agent_renew(enum keeper_take take)
{
	if (!keeper_pause(take))
		keeper_resume();
}

static void identity_settle(const struct identity *before)
{
	struct identity after;

	identity_get(&after);
	if (identity_lost(before, &after))
		agent_renew(KEEPER_TAKE_ANY);
}

/* Call the next function with the same arguments; then see what the process has given up. */
#define WRAP_ID(which, type, ...)                                \
	do {                                                     \
		struct identity before;                          \
		int(*next) type = (int(*) type)wrap_next(which); \
		int r;                                           \
                                                                 \
		if (!next)                                       \
			return -1;                               \
		identity_get(&before);                           \
		r = next(__VA_ARGS__);                           \
		if (!r)                                          \
			identity_settle(&before);                \
		return r;                                        \
	} while (0)

WRAP_EXPORT int setuid(uid_t uid)
{
	WRAP_ID(WRAP_SETUID, (uid_t), uid);
}

WRAP_EXPORT int setgid(gid_t gid)
{
	WRAP_ID(WRAP_SETGID, (gid_t), gid);
}

WRAP_EXPORT int seteuid(uid_t uid)
{
	WRAP_ID(WRAP_SETEUID, (uid_t), uid);
}

WRAP_EXPORT int setegid(gid_t gid)
{
	WRAP_ID(WRAP_SETEGID, (gid_t), gid);
}

WRAP_EXPORT int setreuid(uid_t ruid, uid_t euid)
{
	WRAP_ID(WRAP_SETREUID, (uid_t, uid_t), ruid, euid);
}

WRAP_EXPORT int setregid(gid_t rgid, gid_t egid)
{
	WRAP_ID(WRAP_SETREGID, (gid_t, gid_t), rgid, egid);
}

WRAP_EXPORT int setresuid(uid_t ruid, uid_t euid, uid_t suid)
{
	WRAP_ID(WRAP_SETRESUID, (uid_t, uid_t, uid_t), ruid, euid, suid);
}

WRAP_EXPORT int setresgid(gid_t rgid, gid_t egid, gid_t sgid)
{
	WRAP_ID(WRAP_SETRESGID, (gid_t, gid_t, gid_t), rgid, egid, sgid);
}

/* Groups are not compared: whoever sets them without being root gave some up. */
static void groups_settle(void)
{
	if (sys_0(SYS_geteuid))
		agent_renew(KEEPER_TAKE_ANY);
}

WRAP_EXPORT int setgroups(size_t n, const gid_t *groups)
{
	int (*next)(size_t, const gid_t *) =
		(int (*)(size_t, const gid_t *))wrap_next(WRAP_SETGROUPS);
	int r = next ? next(n, groups) : -1;

	if (!r)
		groups_settle();
	return r;
}

WRAP_EXPORT int initgroups(const char *user, gid_t group)
{
	int (*next)(const char *, gid_t) = (int (*)(const char *, gid_t))wrap_next(WRAP_INITGROUPS);
	int r = next ? next(user, group) : -1;

	if (!r)
		groups_settle();
	return r;
}

long wrap_sys_creds(long nr, long a, long b, long c)
{
	struct identity before;
	long r;

	identity_get(&before);
	r = sys_3(nr, a, b, c);
	if (r)
		return r;
	if (nr == SYS_setgroups)
		groups_settle();
	else
		identity_settle(&before);
	return 0;
}

long wrap_sys_capset(long head, long data)
{
	long r = sys_2(SYS_capset, head, data);

	if (!r)
		agent_renew(KEEPER_TAKE_UNSEALED);
	return r;
}

WRAP_EXPORT int capset(struct __user_cap_header_struct *head,
		       const struct __user_cap_data_struct *data)
{
	return (int)wrap_result(wrap_sys_capset((long)head, (long)data));
}
