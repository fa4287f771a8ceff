#include <errno.h>
#include <linux/netlink.h>
#include <netlink/errno.h>
#include <netlink/netlink.h>

#include "core/netlink.h"

int netlink__errno(int code)
{
	static const struct {
		int libnl, code;
	} codes[] = {
	    {NLE_NOMEM, ENOMEM},	  {NLE_EXIST, EEXIST},
	    {NLE_NOACCESS, EACCES},	  {NLE_PERM, EPERM},
	    {NLE_OBJ_NOTFOUND, ENOENT},	  {NLE_NODEV, ENODEV},
	    {NLE_INVAL, EINVAL},	  {NLE_RANGE, ERANGE},
	    {NLE_OPNOTSUPP, EOPNOTSUPP},  {NLE_BUSY, EBUSY},
	    {NLE_AGAIN, EAGAIN},	  {NLE_INTR, EINTR},
	    {NLE_DUMP_INTR, EINTR},	  {NLE_AF_NOSUPPORT, EAFNOSUPPORT},
	    {NLE_PROTO_MISMATCH, EPROTO}, {NLE_MSGSIZE, EMSGSIZE},
	};

	if (code >= 0)
		return 0;
	for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++)
		if (codes[i].libnl == -code)
			return -codes[i].code;
	return -EIO;
}

int netlink__open(struct nl_sock **socket)
{
	int err;

	*socket = nl_socket_alloc();
	if (!*socket)
		return -ENOMEM;
	err = netlink__errno(nl_connect(*socket, NETLINK_ROUTE));
	if (err)
		nl_socket_free(*socket);
	return err;
}
