"""What a run's files say: pure functions, from slices to points, knees and SLOs (`runs`)."""
