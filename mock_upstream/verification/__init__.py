"""Whether the mock delivers what its profile asks for."""
