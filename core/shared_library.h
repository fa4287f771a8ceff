/*
 * Libraries that only some commands need, opened at the first use: to map one takes longer than all
 * else that a short command does, and small machines go without.
 */
#ifndef CORE_SHARED_LIBRARY_H
#define CORE_SHARED_LIBRARY_H

/* From one list of functions: the members of a struct that points to them, and their names. */
#define LIBRARY_MEMBER(name) __typeof__(name) *name;
#define LIBRARY_NAME(name)   #name,

/*
 * Opens the first of these libraries that is there, and finds its functions. Both lists end with
 * NULL; `members` is the struct, in the order of the names. The library stays open.
 * -ENOSYS: none is there, or it lacks a function; then the struct is not to be used.
 */
int shared_library_open(const char *const *libraries, const char *const *functions, void *members);

#endif
