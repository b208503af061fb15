// node-addon-api, told to drop an exception that cannot be thrown because its environment is ending: without this,
// terminating a worker inside one of our calls would end the process. Include this instead of <napi.h>.
#pragma once
#ifdef SRC_NAPI_H_
#error "include node_addon.h before <napi.h>"
#endif
#ifndef NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS
#define NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS
#endif
#include <napi.h>
