/*
 * PostgreSQL tells Valgrind what of its memory is in use, where it is built with USE_VALGRIND. Under this name it tells
 * AddressSanitizer, which so sees what is done to freed memory and behind the end of memory within one block of a context.
 */
#ifndef MKT_MEMCHECK_H
#define MKT_MEMCHECK_H

#include <sanitizer/asan_interface.h>

#define VALGRIND_MAKE_MEM_NOACCESS(addr, size)				ASAN_POISON_MEMORY_REGION(addr, size)
#define VALGRIND_MAKE_MEM_UNDEFINED(addr, size)				ASAN_UNPOISON_MEMORY_REGION(addr, size)
#define VALGRIND_MAKE_MEM_DEFINED(addr, size)				ASAN_UNPOISON_MEMORY_REGION(addr, size)
#define VALGRIND_MEMPOOL_ALLOC(context, addr, size)			ASAN_UNPOISON_MEMORY_REGION(addr, size)
#define VALGRIND_MEMPOOL_CHANGE(context, optr, nptr, size)	ASAN_UNPOISON_MEMORY_REGION(nptr, size)
#define VALGRIND_MEMPOOL_FREE(context, addr)				((void) 0)
#define VALGRIND_CREATE_MEMPOOL(context, redzones, zeroed)	((void) 0)
#define VALGRIND_DESTROY_MEMPOOL(context)					((void) 0)
#define VALGRIND_CHECK_MEM_IS_DEFINED(addr, size)			((void) 0)

#endif
