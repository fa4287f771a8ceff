/* core.feature: what the kernel offers. Each gives true, or nil and an error with the reason. */
#include <bpf/libbpf.h>

#include "bindings/handle.h"
#include "bindings/namespaces.h"
#include "bindings/table.h"
#include "core/feature.h"

static int answer(lua_State *L, int err, struct diagnostic *why)
{
	if (err)
		return push_diagnostic(L, err, why, "cannot find out what the kernel offers");
	lua_pushboolean(L, 1);
	return 1;
}

/* event_source("kprobe" | "uprobe") */
static int event_source(lua_State *L)
{
	const char *source = luaL_checkstring(L, 1);
	struct diagnostic *why = new_diagnostic(L);

	return answer(L, feature__event_source(source, why), why);
}

/* program(kind) */
static int program(lua_State *L)
{
	const char *kind = luaL_checkstring(L, 1);
	struct diagnostic *why = new_diagnostic(L);

	return answer(L, feature__program(kind, why), why);
}

/* link(kind) */
static int link_of(lua_State *L)
{
	const char *kind = luaL_checkstring(L, 1);
	struct diagnostic *why = new_diagnostic(L);

	return answer(L, feature__link(kind, why), why);
}

/* btf() */
static int btf(lua_State *L)
{
	struct diagnostic *why = new_diagnostic(L);

	return answer(L, feature__btf(why), why);
}

int open_feature(lua_State *L)
{
	static const luaL_Reg functions[] = {
	    {"event_source", event_source},
	    {"program", program},
	    {"link", link_of},
	    {"btf", btf},
	    {NULL, NULL},
	};

	luaL_newlib(L, functions);
	set_string(L, "libbpf", libbpf_version_string());
	return 1;
}
