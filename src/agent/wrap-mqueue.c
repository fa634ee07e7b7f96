/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * wrap-mqueue - the agent must not cancel the program's mq_notify
 *
 * The kernel forgets the notification when any thread of the process closes a descriptor of the
 * queue. An agent started after mq_open() has one in its copied table, and can neither close it nor
 * end without closing it. So if an agent is still to come it comes before the request, and closes
 * what it must while there is nothing to cancel; after the request no other is started.
 */
#include "agent/wrap.h"

#include "agent/birth.h"
#include <mqueue.h>

WRAP_EXPORT int mq_notify(mqd_t queue, const struct sigevent *event)
{
	int (*next)(mqd_t, const struct sigevent *) =
		(int (*)(mqd_t, const struct sigevent *))wrap_next(WRAP_MQ_NOTIFY);

	if (!next)
		return -1;
	if (event)
		birth_hasten_last();
	return next(queue, event);
}
