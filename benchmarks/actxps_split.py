"""The peer of the exposure split: actxps, in an environment of its own; prints its seconds.

Calendar year by policy year, then exposure by the factors; it has no attained age to split by.
"""

import sys
import time
import warnings
from datetime import date

import actxps
import polars as pl

warnings.simplefilter("ignore")
path, end, factors = sys.argv[1], date(2024, 12, 31), ["sex", "region", "tier"]
began = time.perf_counter()
leaves = pl.col("end") <= end
policies = pl.read_parquet(path).select(
    pl.col("policy_id").alias("pol_num"),
    pl.when(leaves).then(pl.lit("Surrender")).otherwise(pl.lit("Active")).alias("status"),
    pl.col("start").alias("issue_date"),
    # its last day is a day of cover, ours the day after
    pl.when(leaves).then(pl.col("end").dt.offset_by("-1d")).alias("term_date"),
    *factors,
)
split = actxps.ExposedDF(
    policies, end_date=end, start_date=date(2022, 1, 1), cal_expo=True
).expose_split()
cells = (
    split.data.with_columns(year=pl.col("cal_yr").dt.year())
    .group_by(*factors, "year", "pol_yr")
    .agg(pl.col("exposure_cal").sum())
)
print(time.perf_counter() - began)
