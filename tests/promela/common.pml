/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * common - properties with a name, and mutations
 *
 * must() is an assertion whose name stands in what pan prints when it fails: the names are variables
 * that are always false. A model is checked once as it is and once for each of its mutations
 * (-DMUTATION=n); check-models.py demands that the one finds nothing, that each other fails by the property
 * its line names, and that no property is without a mutation that breaks it.
 */
#ifndef MUTATION
#define MUTATION 0
#endif
#define M(name) (MUTATION == name)
#define must(condition, name) assert((condition) || name)
