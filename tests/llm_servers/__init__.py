"""Language model servers for tests: a scripted one for every fault, and a real one."""
