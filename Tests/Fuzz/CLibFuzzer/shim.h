// libFuzzer as a library (llvm.org/docs/LibFuzzer.html), which brings no header of its own.
#pragma once
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*callback)(const uint8_t *data, size_t size));
