/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-list - the intrusive list
 */
#include "test-common.h"

#include "base/list.h"

struct item {
	struct list node;
	int v;
};

static void test_order(void **state)
{
	struct list l = LIST_INIT(l);
	struct item items[3], *pos, *tmp;
	int i, sum = 0;

	(void)state;
	assert_true(list_is_empty(&l));
	assert_null(list_first(&l, struct item, node));
	for (i = 0; i < 3; i++) {
		items[i].v = i;
		list_init(&items[i].node);
		assert_false(list_is_linked(&items[i].node));
	}
	list_append(&l, &items[1].node);
	list_append(&l, &items[2].node);
	list_prepend(&l, &items[0].node);
	i = 0;
	list_for_each(pos, &l, node)
		assert_int_equal(pos->v, i++);
	assert_int_equal(i, 3);
	assert_ptr_equal(list_first(&l, struct item, node), &items[0]);
	assert_ptr_equal(list_last(&l, struct item, node), &items[2]);
	list_for_each_safe(pos, tmp, &l, node) {
		sum += pos->v;
		list_unlink(&pos->node);
		list_unlink(&pos->node); /* twice is fine */
	}
	assert_int_equal(sum, 3);
	assert_true(list_is_empty(&l));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
