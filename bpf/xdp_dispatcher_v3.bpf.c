// SPDX-License-Identifier: MIT OR GPL-2.0-only

#define DISPATCHER_VERSION 3
#define CONSTANTS	   struct dispatcher_config_v3
#define CHAIN		   conf.chain
#include "xdp_dispatcher.h"
