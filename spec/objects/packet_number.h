/*
 * Packets of spec/support/send_packets.lua carry their number as eight hex digits at the start of
 * their UDP payload. CONTEXT is the program type's.
 */
#define PAYLOAD (14 + 20 + 8)

/* -1 for any other packet */
static __attribute__((always_inline)) long packet_number(struct CONTEXT *ctx)
{
	unsigned char *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 number = 0;

	if (data + PAYLOAD + 8 > end || data[12] != 8 || data[13] || data[23] != 17)
		return -1;
	for (int i = 0; i < 8; i++) {
		unsigned char digit = data[PAYLOAD + i];

		number = number << 4 | (digit > '9' ? digit - 'a' + 10 : digit - '0');
	}
	return number;
}
