/*
 * Members that leave their digit behind each packet, in the order in which it met them: in a map
 * that all of them share, eight digits of a packet at most. Included for XDP and TC with CONTEXT,
 * MEMBER and NEXT (what lets a packet pass on) set.
 */
#include "packet_number.h"

#define PART	4096 /* packets in one element, so that they are read by the thousand */
#define PACKETS (1 << 24)

volatile const __u32 DIGIT = 0;

struct part {
	__u32 paths[PART];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PACKETS / PART);
	__type(key, __u32);
	__type(value, struct part);
} packets SEC(".maps");

SEC(MEMBER) int leave_digit(struct CONTEXT *ctx)
{
	long number = packet_number(ctx);
	__u32 key = number / PART;
	struct part *part = number < 0 ? 0 : bpf_map_lookup_elem(&packets, &key);

	if (part) {
		__u32 *path = &part->paths[number & (PART - 1)];

		*path = *path << 4 | (DIGIT & 15);
	}
	return NEXT;
}
