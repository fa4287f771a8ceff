/* Built without -g by its spec: no BTF tells of anything here. */
#define SEC(name) __attribute__((section(name), used))

volatile const unsigned int ANSWER SEC(".rodata") = 2;

SEC("some_section") int plain(void *ctx)
{
	return ANSWER;
}

char _license[] SEC("license") = "GPL";
