// Runs every TEST of this folder; the last line is "N passed, N failed".
#include "check.h"

int main() { return check::run_all(); }
