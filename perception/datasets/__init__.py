"""Datasets on disk: writers (COCO, KITTI, shards), the reader, the checks, pictures with their labels drawn."""
