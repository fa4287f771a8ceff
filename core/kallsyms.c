#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/kallsyms.h"

struct line {
	__u64 address;
	char type;
	char name[512];
};

static bool read_line(FILE *file, struct line *line)
{
	return fscanf(file, "%llx %c %511s%*[^\n]", &line->address, &line->type, line->name) == 3;
}

static bool is_function(char type)
{
	return strchr("tTwW", type);
}

static __u64 count(FILE *file, const char *name, struct kernel_function *function)
{
	__u64 address = 0;
	struct line line;

	while (read_line(file, &line)) {
		if (!is_function(line.type) || strcmp(line.name, name))
			continue;
		if (!function->count++)
			address = line.address;
	}
	return address;
}

/* Modules stand behind the kernel, and in no order. */
static __u64 find_next(FILE *file, __u64 address)
{
	__u64 next = 0;
	struct line line;

	while (read_line(file, &line))
		if (line.address > address && (!next || line.address < next))
			next = line.address;
	return next;
}

int kallsyms__function(const char *name, struct kernel_function *function)
{
	FILE *file = fopen("/proc/kallsyms", "re");
	__u64 address, next;

	*function = (struct kernel_function){};
	if (!file)
		return -errno;
	address = count(file, name, function);
	if (address) {
		rewind(file);
		next = find_next(file, address);
		function->size = next ? next - address : 0;
	}
	fclose(file);
	return 0;
}
