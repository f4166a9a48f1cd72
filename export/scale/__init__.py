"""A corpus in Parquet, in parts: one after another here, or by the actors of Ray on many machines.

The only folder that imports pyarrow and ray.
"""
