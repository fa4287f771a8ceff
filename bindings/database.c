/* SQLite for Lua: integers keep all their 64 bits, values are bound and never spelt into SQL. */
#include "bindings/handle.h"
#include "bindings/namespaces.h"
#include "core/database.h"

#define DATABASE  "bpf.database"
#define STATEMENT "bpf.database.statement"
#define BLOB	  "bpf.database.blob"
#define RESET	  "bpf.database.reset"

struct connection {
	sqlite3 *database;
};

struct statement {
	sqlite3_stmt *prepared; /* NULL once closed; its uservalue is the connection */
};

static sqlite3 *check_database(lua_State *L, int index)
{
	struct connection *self = luaL_checkudata(L, index, DATABASE);

	luaL_argcheck(L, self->database, index, "the database is closed");
	return self->database;
}

static sqlite3_stmt *check_statement(lua_State *L, int index)
{
	struct statement *self = luaL_checkudata(L, index, STATEMENT);

	luaL_argcheck(L, self->prepared, index, "the statement is closed");
	return self->prepared;
}

static int fail(lua_State *L, sqlite3 *database, int code)
{
	return push_error(L, database__error(code), NULL, "the database says: %s",
			  database ? sqlite3_errmsg(database) : sqlite3_errstr(code));
}

/* open(path [, busy_ms]) -> database */
static int open_connection(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	int busy_ms = (int)luaL_optinteger(L, 2, 5000);
	struct connection *self = lua_newuserdatauv(L, sizeof(*self), 0);
	int err;

	self->database = NULL;
	luaL_setmetatable(L, DATABASE);
	err = database__open(path, busy_ms, &self->database);
	if (!err)
		return 1;
	push_error(L, err, NULL, "cannot open the database %s: %s", path,
		   self->database ? sqlite3_errmsg(self->database) : "out of memory");
	sqlite3_close_v2(self->database);
	self->database = NULL;
	return 2;
}

static int close_connection(lua_State *L)
{
	struct connection *self = luaL_checkudata(L, 1, DATABASE);

	sqlite3_close_v2(self->database); /* really closed with its last statement */
	self->database = NULL;
	return 0;
}

/* database:execute(sql) -> true: any number of statements without values */
static int execute(lua_State *L)
{
	sqlite3 *database = check_database(L, 1);
	int code = sqlite3_exec(database, luaL_checkstring(L, 2), NULL, NULL, NULL);

	if (code != SQLITE_OK)
		return fail(L, database, code);
	lua_pushboolean(L, 1);
	return 1;
}

/* database:prepare(sql) -> statement */
static int prepare(lua_State *L)
{
	sqlite3 *database = check_database(L, 1);
	size_t length;
	const char *sql = luaL_checklstring(L, 2, &length);
	struct statement *self = lua_newuserdatauv(L, sizeof(*self), 1);
	int code;

	self->prepared = NULL;
	luaL_setmetatable(L, STATEMENT);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	code = sqlite3_prepare_v3(database, sql, (int)length, SQLITE_PREPARE_PERSISTENT,
				  &self->prepared, NULL);
	return code == SQLITE_OK ? 1 : fail(L, database, code);
}

static int close_statement(lua_State *L)
{
	struct statement *self = luaL_checkudata(L, 1, STATEMENT);

	sqlite3_finalize(self->prepared);
	self->prepared = NULL;
	return 0;
}

static int bind_string(lua_State *L, sqlite3_stmt *prepared, int place, int index)
{
	size_t length;
	const char *bytes;
	int code;

	if (lua_type(L, index) == LUA_TSTRING) {
		bytes = lua_tolstring(L, index, &length);
		return sqlite3_bind_text64(prepared, place, bytes, length, SQLITE_TRANSIENT,
					   SQLITE_UTF8);
	}
	luaL_checkudata(L, index, BLOB);
	lua_getiuservalue(L, index, 1);
	bytes = lua_tolstring(L, -1, &length);
	code = sqlite3_bind_blob64(prepared, place, bytes, length, SQLITE_TRANSIENT);
	lua_pop(L, 1);
	return code;
}

/* Binds the arguments from index 2 on. */
static int bind_values(lua_State *L, sqlite3_stmt *prepared)
{
	int count = lua_gettop(L) - 1, code = SQLITE_OK;

	if (count != sqlite3_bind_parameter_count(prepared))
		return luaL_error(L, "the statement takes %d values, not %d",
				  sqlite3_bind_parameter_count(prepared), count);
	sqlite3_reset(prepared);
	for (int place = 1; place <= count && code == SQLITE_OK; place++) {
		int index = place + 1;

		if (lua_isnoneornil(L, index))
			code = sqlite3_bind_null(prepared, place);
		else if (lua_isinteger(L, index))
			code = sqlite3_bind_int64(prepared, place, lua_tointeger(L, index));
		else if (lua_type(L, index) == LUA_TNUMBER)
			code = sqlite3_bind_double(prepared, place, lua_tonumber(L, index));
		else if (lua_isboolean(L, index))
			code = sqlite3_bind_int(prepared, place, lua_toboolean(L, index));
		else
			code = bind_string(L, prepared, place, index);
	}
	return code;
}

static void push_column(lua_State *L, sqlite3_stmt *prepared, int column)
{
	const void *bytes;

	switch (sqlite3_column_type(prepared, column)) {
	case SQLITE_INTEGER:
		lua_pushinteger(L, sqlite3_column_int64(prepared, column));
		break;
	case SQLITE_FLOAT:
		lua_pushnumber(L, sqlite3_column_double(prepared, column));
		break;
	case SQLITE_NULL:
		lua_pushnil(L);
		break;
	default:
		bytes = sqlite3_column_blob(prepared, column);
		lua_pushlstring(L, bytes ? bytes : "",
				(size_t)sqlite3_column_bytes(prepared, column));
	}
}

static void push_row(lua_State *L, sqlite3_stmt *prepared)
{
	int count = sqlite3_data_count(prepared);

	lua_createtable(L, 0, count);
	for (int column = 0; column < count; column++) {
		push_column(L, prepared, column);
		lua_setfield(L, -2, sqlite3_column_name(prepared, column));
	}
}

/* Pushes the next row or nil; resets after the last. Returns SQLite's code. */
static int step(lua_State *L, sqlite3_stmt *prepared)
{
	int code = sqlite3_step(prepared);

	if (code == SQLITE_ROW) {
		push_row(L, prepared);
		return SQLITE_OK;
	}
	lua_pushnil(L);
	if (code == SQLITE_DONE)
		code = SQLITE_OK;
	sqlite3_reset(prepared);
	return code;
}

/* statement:run(...) -> number of changed rows */
static int run(lua_State *L)
{
	sqlite3_stmt *prepared = check_statement(L, 1);
	sqlite3 *database = sqlite3_db_handle(prepared);
	int code = bind_values(L, prepared);

	if (code == SQLITE_OK) {
		do
			code = sqlite3_step(prepared);
		while (code == SQLITE_ROW);
	}
	if (code != SQLITE_OK && code != SQLITE_DONE) {
		fail(L, database, code);
		sqlite3_reset(prepared);
		return 2;
	}
	sqlite3_reset(prepared);
	lua_pushinteger(L, sqlite3_changes(database));
	return 1;
}

/* statement:row(...) -> the first row, or nil if there is none */
static int first_row(lua_State *L)
{
	sqlite3_stmt *prepared = check_statement(L, 1);
	int code = bind_values(L, prepared);

	if (code == SQLITE_OK)
		code = step(L, prepared);
	if (code != SQLITE_OK)
		return fail(L, sqlite3_db_handle(prepared), code);
	sqlite3_reset(prepared);
	return 1;
}

static int next_row(lua_State *L)
{
	sqlite3_stmt *prepared = check_statement(L, lua_upvalueindex(1));
	int code = step(L, prepared);

	if (code == SQLITE_OK)
		return 1;
	fail(L, sqlite3_db_handle(prepared), code);
	return lua_error(L);
}

static int reset(lua_State *L)
{
	struct statement *self;

	lua_getiuservalue(L, 1, 1);
	self = lua_touserdata(L, -1);
	sqlite3_reset(self->prepared);
	return 0;
}

/* for row in statement:rows(...) do: raises an error object if reading fails */
static int rows(lua_State *L)
{
	sqlite3_stmt *prepared = check_statement(L, 1);
	int code = bind_values(L, prepared);

	if (code != SQLITE_OK) {
		fail(L, sqlite3_db_handle(prepared), code);
		return lua_error(L);
	}
	lua_pushvalue(L, 1);
	lua_pushcclosure(L, next_row, 1);
	lua_pushnil(L);
	lua_pushnil(L);
	lua_newuserdatauv(L, 0, 1); /* a loop that is left early resets too */
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	luaL_setmetatable(L, RESET);
	return 4;
}

/* blob(bytes): a value that is bound as a blob and not as text */
static int new_blob(lua_State *L)
{
	luaL_checkstring(L, 1);
	lua_newuserdatauv(L, 0, 1);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	luaL_setmetatable(L, BLOB);
	return 1;
}

static void define(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction close)
{
	luaL_newmetatable(L, name);
	lua_pushcfunction(L, close);
	lua_setfield(L, -2, "__gc");
	lua_pushcfunction(L, close);
	lua_setfield(L, -2, "__close");
	luaL_newlib(L, ((luaL_Reg[]){{"close", close}, {NULL, NULL}}));
	luaL_setfuncs(L, methods, 0);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
}

static const luaL_Reg connection_methods[] = {
    {"execute", execute},
    {"prepare", prepare},
    {NULL, NULL},
};

static const luaL_Reg statement_methods[] = {
    {"run", run},
    {"row", first_row},
    {"rows", rows},
    {NULL, NULL},
};

static const luaL_Reg functions[] = {
    {"open", open_connection},
    {"blob", new_blob},
    {NULL, NULL},
};

int open_database(lua_State *L)
{
	define(L, DATABASE, connection_methods, close_connection);
	define(L, STATEMENT, statement_methods, close_statement);
	luaL_newmetatable(L, BLOB);
	luaL_newmetatable(L, RESET);
	lua_pushcfunction(L, reset);
	lua_setfield(L, -2, "__close");
	lua_pop(L, 2);
	luaL_newlib(L, functions);
	return 1;
}

int luaopen_bpfd_database(lua_State *L)
{
	return open_database(L);
}
