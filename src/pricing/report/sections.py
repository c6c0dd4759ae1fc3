"""What a report shows of which results, and in which order."""

from __future__ import annotations

__all__ = ["ASIDE", "DECISION", "EVERY", "LAST", "NOTES", "PLAN_SECTIONS", "SECTIONS"]

SECTIONS = {  # one question each, and the kinds of results that answer it
    "schedule": ("schedule", "schedule_design", "discount_split"),
    "evaluation_card": ("evaluation_card",),
    "group_effect": ("group_effect", "value_effect", "groups_later"),
    "selection": (
        "side_by_side",
        "falsification",
        "mean_reversion",
        "covariate_balance",
        "overlap",
        "power_statement",
        "programme_effect",
    ),
    "members": ("projection", "stress", "group_moves", "renewal_ledger"),
    "persistency": (
        "price_responses",
        "renewal_elasticity",
        "renewal_model",
        "price_discontinuity",
        "lapse_value",
        "persistency",
        "cumulative_persistency",
        "cumulative_incidence",
        "renewal_offers",
    ),
    "aggregate_loss": ("aggregate_loss", "pooled_large", "mean_excess", "tail_fit"),
    "indication": ("indication", "tornado", "permissible", "on_level"),
    "regulation": ("rate_adjustment_check", "regulatory_loss_ratio", "check", "service_cost_check"),
    "monitoring": ("loss_ratio_monitor", "early_warning", "waterfall", "trend", "trend_break"),
    "reserves": ("completion", "completion_pattern", "statutory_ibnr", "ultimates"),
    "product": ("product",),
    "frequency": ("frequency", "severity"),
    "validation": ("calibration", "lift", "lorenz", "murphy", "contest"),
    "experience": ("actual_to_expected", "one_way", "recovery"),
    "scenarios": ("scenario_comparison", "scenario_steps"),
    "data_check": ("data_check", "not_shown"),
}
PLAN_SECTIONS: dict[str, tuple[str, ...]] = {  # of plan studies, before those above
    "programme": ("health_values", "group_flow", "task_values", "lift_summary", "discount_lift"),
    "mutual_aid": ("aid_settlement", "cross_subsidy", "capped_share", "share_risk"),
    "aid_future": ("unravelling", "aid_membership"),
    "aid_compared": ("aid_against_insurance", "share_back_test"),
}
ASIDE = {  # saved, too wide to print
    "schedule": ("exposure", "monotone", "discounted_premium", "loss_ratio_before"),
    "lift": ("lowest_rate", "highest_rate"),
    "calibration": ("rate_lower", "rate_upper", "lower_poisson", "upper_poisson"),
    "segments": ("actual", "expected_model", "expected_challenger", "gain", "z", "p_value"),
    "completion": ("exposure", "credibility", "std_error", "lower", "upper"),
    "loss_ratio_monitor": ("exposure", "completion_error", "mature", "actual_to_expected"),
    "early_warning": ("cusum_up", "cusum_down", "cusum_limit", "ewma", "ewma_limit"),
    **dict.fromkeys(("rate_adjustment_check", "check", "service_cost_check"), ("rule", "article")),
    "pooled_large": ("base", "std_error", "amount_capped", "amount_charged"),
    "side_by_side": (
        "rate_inside",
        "rate_outside",
        "std_error",
        "rate_difference",
        "difference_lower",
        "difference_upper",
        "e_value_limit",
        "detectable",
        "role",
    ),
    "renewal_model": (
        "exposure",
        "claims",
        "amount",
        "coefficient",
        "std_error_model",
        "std_error_robust",
    ),
    "group_moves": ("weight",),
    "projection": (
        "premium_charged_lower",
        "premium_charged_upper",
        "claims_cost_lower",
        "claims_cost_upper",
        "members_lower",
        "members_upper",
        "mean_discount_lower",
        "mean_discount_upper",
        "expenses",
        "operating_margin_lower",
        "operating_margin_upper",
        "top_share_lower",
        "top_share_upper",
        "rate_level",
        "other_exits",
    ),
}
LAST = {"completion": 24}  # of a long series, the periods that are printed
EVERY = {
    "lorenz": 10,
    "value_effect": 4,
    "mean_excess": 4,
    "trend_break": 3,
    "capped_share": 4,
    "cross_subsidy": 9,
    "aid_membership": 12,
}  # every how many points of a curve are printed
DECISION = (
    "health_values", "aid_settlement", "aid_membership", "scenario_comparison",
    "schedule", "indication", "side_by_side", "aggregate_loss", "programme_effect", "group_effect",
    "frequency", "data_check",
)  # fmt: skip

NOTES = {  # the sentence under a section's heading
    "schedule": "section.note_budget",
    "group_effect": "section.note_group",
    "aggregate_loss": "section.note_year",
    "indication": "section.note_indication",
    "regulation": "section.note_regulation",
    "product": "section.note_product",
    "frequency": "section.note_errors",
    "validation": "section.note_validation",
    "persistency": "section.note_persistency",
    "members": "section.note_members",
    "selection": "section.note_selection",
    "evaluation_card": "section.note_card",
    "experience": "section.note_expected",
}
