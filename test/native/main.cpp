// Runs every TEST, or those whose names the arguments are parts of; the last line is "N passed, N failed".
#include "check.h"

int main(int argc, char** argv) { return check::run_all(argc - 1, argv + 1); }
