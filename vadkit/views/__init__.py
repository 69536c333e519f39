"""What a network gets to see of a video: frames, flow, objects, clips, tubes, segments, features."""
