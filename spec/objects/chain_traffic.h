/*
 * Members for swaps under traffic: packets carry their number as eight hex digits at the start of
 * their UDP payload, and each of these members counts it. Included for XDP and TC with CONTEXT,
 * MEMBER and NEXT (what lets a packet pass on) set.
 */
#define PACKETS 1048576
#define PAYLOAD (14 + 20 + 8)

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} total SEC(".maps");

/* how often packet number N came: a byte each */
unsigned char seen[PACKETS];

static __attribute__((always_inline)) long number_of(struct CONTEXT *ctx)
{
	unsigned char *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 number = 0;

	if (data + PAYLOAD + 8 > end || data[12] != 8 || data[13] || data[23] != 17)
		return -1;
	for (int i = 0; i < 8; i++) {
		unsigned char digit = data[PAYLOAD + i];

		number = number << 4 | (digit > '9' ? digit - 'a' + 10 : digit - '0');
	}
	return number & (PACKETS - 1);
}

SEC(MEMBER) int account(struct CONTEXT *ctx)
{
	long number = number_of(ctx);
	__u32 key = 0;
	__u64 *sum = bpf_map_lookup_elem(&total, &key);

	if (number >= 0) {
		__sync_fetch_and_add((__u32 *)(seen + (number & ~3ul)), 1u << (number & 3) * 8);
		if (sum)
			__sync_fetch_and_add(sum, 1);
	}
	return NEXT;
}

SEC(MEMBER) int idle(struct CONTEXT *ctx)
{
	return NEXT;
}

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} nowhere SEC(".maps");

/* has to be called */
SEC(MEMBER) int jump(struct CONTEXT *ctx)
{
	bpf_tail_call(ctx, &nowhere, 0);
	return NEXT;
}
