"""What every room uses: parameters, errors, the cache, processes, video files."""
