// SPDX-License-Identifier: MIT OR GPL-2.0-only

#define DISPATCHER_VERSION 2
#define CONSTANTS	   struct dispatcher_config
#define CHAIN		   conf
#include "xdp_dispatcher.h"
